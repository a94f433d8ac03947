"""Reports as plain values (headings, text, tables, pictures), and what renders them."""
