"""A simulated Chatwoot: API, webhooks and a page to write as a customer, with switches for everything that goes wrong."""

from server.dev.chatwoot_sim.app import create_app
from server.dev.chatwoot_sim.samples import Upload
from server.dev.chatwoot_sim.seed import seed
from server.dev.chatwoot_sim.serving import serving
from server.dev.chatwoot_sim.state import ChatwootSim
from server.dev.chatwoot_sim.switches import Switches

__all__ = ["ChatwootSim", "Switches", "Upload", "create_app", "seed", "serving"]
