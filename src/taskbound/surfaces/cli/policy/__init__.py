"""`taskbound policy`: the organisation's rules, tried before they hold, and who put them in force."""
