"""A simulated Chatwoot as a program of its own: prints what one copies from Chatwoot's pages as a
line of JSON, and serves.
"""

import asyncio
import json

from server.lab.chatwoot_sim import ChatwootSim, seed, serving


async def main() -> None:
    sim = ChatwootSim(account_name="Northwind Support")
    async with serving(sim) as address:
        seed(sim)  # nobody calls us yet: what is there already is fetched by a sync
        told = {
            "address": address,
            "account": sim.account.id,
            "inbox": sim.inbox.id,
            "token": sim.admin.access_token,
        }
        print(json.dumps(told), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
