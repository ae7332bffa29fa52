"""From bytes to records: lines, layouts, tags and syslog headers, event keys, and the fields that rules see."""
