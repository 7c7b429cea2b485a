"""A simulated Chatwoot: API, webhooks and a page to write as a customer, with switches for
everything that goes wrong.
"""

from server.lab.chatwoot_sim.samples import Upload
from server.lab.chatwoot_sim.seed import seed
from server.lab.chatwoot_sim.seed_kinds import inboxes_of_kinds, seed_kinds
from server.lab.chatwoot_sim.serving import serving
from server.lab.chatwoot_sim.sim_app import create_app
from server.lab.chatwoot_sim.state import ChatwootSim
from server.lab.chatwoot_sim.switches import Switches

__all__ = [
    "ChatwootSim",
    "Switches",
    "Upload",
    "create_app",
    "inboxes_of_kinds",
    "seed",
    "seed_kinds",
    "serving",
]
