"""What `lab bundle` ends with."""

from lab.render.documents import Document

__all__ = ["bundle"]


def bundle(document: Document) -> str:
    """Where the bundle is, and what stands out in it."""
    nodes = document["nodes"]
    lines = [f"{document['file']}: {len(document['files'])} files about {len(nodes)} machines"]
    lines += [f"{node['name']} has told nothing: {node['silence']}" for node in nodes if node["silence"]]
    counts = document["checks"]
    if counts is None:
        lines.append("The checks could not be run.")
    elif wrong := counts["failed"] + counts["unknown"]:
        lines.append(f"{wrong} of {wrong + counts['passed']} checks do not hold.")
    return "\n".join(lines)
