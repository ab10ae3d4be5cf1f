"""What proves who somebody is, grouped by how."""
