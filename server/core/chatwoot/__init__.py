"""What Chatwoot's JSON, signatures and frames mean."""
