"""``resilin report``: figures of blocks on targets, gathered, set beside the papers', shown."""
