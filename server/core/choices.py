"""The words that people choose from: in the API, on the pages and on the command line."""

# of agents
ROLES = ("agent", "admin")
# which of the server's addresses Chatwoot sends webhooks to: PUBLIC_URL or TUNNEL_URL
WEBHOOK_MODES = ("live", "local")
# what becomes of the webhooks of an integration that knows no secret
UNSIGNED_WEBHOOKS = ("refused", "keyed", "accepted")
# what becomes of a reply whose agent's own token Chatwoot refuses: it fails, or goes out under the
# integration's name
REFUSED_OWN_TOKENS = ("fail", "fallback")
DELIVERY_STATES = ("received", "done", "ignored", "dead")
