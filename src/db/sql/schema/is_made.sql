SELECT to_regclass('refinery_schema_history') IS NOT NULL,
       to_regclass('schema_needs') IS NOT NULL,
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)
