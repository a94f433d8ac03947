"""From looks to alerts: histories of places, the rule, sites, areas, and the tables of these."""
