"""The egress' socket for gateways: servers with secrets, run or reached where no gateway can look."""
