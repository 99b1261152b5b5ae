"""The only places that know AWS's services, one module for each."""
