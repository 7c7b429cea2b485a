"""What pyproject.toml cannot say: `web/` stays at the top of the repository and is installed as
`server/web`, beside the code that serves it (server/web_folder.py finds it).
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["server", "server.*"]), "server.web"],
    package_dir={"server.web": "web"},
    package_data={
        "server.web": ["**/*"],
        "server.lab.chatwoot_sim": ["templates/*", "static/*", "kinds/*"],
    },
)
