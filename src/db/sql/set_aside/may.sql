SELECT has_database_privilege(current_database(), 'CREATE')
   AND pg_has_role((SELECT relowner FROM pg_class WHERE oid = 'trades'::regclass), 'USAGE')
