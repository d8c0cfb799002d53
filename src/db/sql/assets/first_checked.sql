SELECT min(checked_at) FROM assets WHERE issuer <> 'native'
