SELECT migration FROM schema_needs
