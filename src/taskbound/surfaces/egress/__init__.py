"""The egress as gateways meet it: servers that hold secrets, run or reached where no gateway can look."""
