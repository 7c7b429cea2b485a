"""Attachments as webhooks, REST and frames show them: a file with its addresses, or what stands in
for one (a place, a contact's card, a link).

Source in Chatwoot: app/models/attachment.rb `push_event_data`.
"""

from urllib.parse import quote

from server.lab.chatwoot_sim.model import Attachment, JsonObject


def attachment_data(attachment: Attachment, base_url: str) -> JsonObject:
    """`Attachment#push_event_data`. The `data_url` of a file is permanent and needs no sign-in."""
    data: JsonObject = {
        "id": attachment.id,
        "message_id": attachment.message_id,
        "file_type": attachment.file_type,
        "account_id": attachment.account_id,
    }
    match attachment.file_type:
        case "location":
            latitude, longitude = attachment.coordinates or (0.0, 0.0)
            return data | {
                "coordinates_lat": latitude,
                "coordinates_long": longitude,
                "fallback_title": attachment.fallback_title,
                "data_url": attachment.external_url,
            }
        case "fallback":
            return data | {
                "fallback_title": attachment.fallback_title,
                "data_url": attachment.external_url,
            }
        case "contact":
            return data | {"fallback_title": attachment.fallback_title, "meta": attachment.meta}
        case _:
            return data | _file(attachment, base_url)


def files_of(attachments: list[Attachment], base_url: str) -> list[JsonObject]:
    """The attachments of a message, in the order of their ids."""
    return [attachment_data(attachment, base_url) for attachment in attachments]


def in_webhook(attachments: list[Attachment], base_url: str) -> list[JsonObject]:
    """The same in a webhook, newest first: the order is none, and not that of REST. Pictures are
    not measured yet (facts of a running 4.16).
    """
    unmeasured = {"width": None, "height": None}
    shown = files_of(attachments[::-1], base_url)
    return [data | unmeasured if "width" in data else data for data in shown]


def _file(attachment: Attachment, base_url: str) -> JsonObject:
    blobs, name = f"{base_url}/rails/active_storage", quote(attachment.name)
    thumb = f"{blobs}/representations/redirect/{attachment.key}/variation/{name}"
    inline = "?disposition=inline" if attachment.file_type == "audio" else ""
    own = f"{blobs}/blobs/redirect/{attachment.key}/{name}{inline}"
    # of Instagram: the provider's own address, for the file and its preview
    outside = attachment.external_url
    data: JsonObject = {
        "extension": attachment.name.rpartition(".")[2] or None,
        "content_type": attachment.content_type,
        "data_url": outside or own,
        "thumb_url": outside or (thumb if attachment.file_type == "image" else ""),
        "file_size": len(attachment.content),
        "width": attachment.width,
        "height": attachment.height,
    }
    if attachment.file_type == "audio":
        data["transcribed_text"] = attachment.transcribed_text
    return data
