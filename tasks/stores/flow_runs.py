"""What Prefect says of a flow run."""

import os


def why_over(flow_run_id: str, url: str) -> str:
    """Why a flow run is over, in a few words; empty if it may live, or Prefect cannot say.

    Args:
        flow_run_id: Its id.
        url: Its page, as it was told when it began: a flow run of another server is not ours to judge.
    """
    if not os.environ.get("PREFECT_API_URL"):
        return ""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound
    from prefect.utilities.urls import url_for

    try:
        with get_client(sync_client=True) as prefect:
            state = prefect.read_flow_run(flow_run_id).state  # type: ignore[arg-type]
    except ObjectNotFound:
        here = url in ("", url_for("flow-run", obj_id=flow_run_id))
        return "Prefect knows no such flow run" if here else ""
    except (httpx.HTTPError, ValueError):
        return ""
    return f"its flow run is {state.name}" if state is not None and state.is_final() else ""
