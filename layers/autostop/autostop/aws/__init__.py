"""The only places that know AWS's services, and what is asked and told past them."""
