"""Where Taskbound meets the outside: each surface translates, and decides nothing."""
