"""Names of agents in tokens: those of the CRM and our own are apart."""

# Begins the subject of an agent who signs in here with a password. The CRM numbers its users as it
# likes, and its user 1 is not our agent 1.
LOCAL_SUBJECT = "local:"
# A claim that is true in tokens made here. Without it a subject of ours is refused: a user who may
# choose their name in the CRM would choose an agent's of ours.
LOCAL_CLAIM = "omniAgent"


def is_local(subject: str) -> bool:
    """Whether the subject is one of our own agents."""
    return subject.startswith(LOCAL_SUBJECT)
