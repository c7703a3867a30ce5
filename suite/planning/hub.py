"""Bring data and weights that are missing from the hub into its own cache."""

from collections.abc import Iterable

from suite.console import say
from suite.planning.locate import HubFiles, Missing


def bring(missing: Iterable[Missing]) -> bool:
    """Download what the hub has of it; whether anything came."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    came = [_download(hub) for hub in dict.fromkeys(item.hub for item in missing if item.hub)]
    return any(came)


def _download(hub: HubFiles) -> bool:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    say(f"fetching {hub.kind} {hub.repository} from the hub")
    try:
        snapshot_download(
            hub.repository,
            repo_type=hub.kind,
            revision=hub.revision,
            allow_patterns=list(hub.patterns),
        )
    except (HfHubHTTPError, OSError) as error:
        # No network, no such repository, no permission, no space: what is missing stays missing.
        say(f"could not fetch {hub.repository}: {str(error).strip().splitlines()[0]}")
        return False
    return True
