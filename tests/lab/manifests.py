"""The tutorial's own files, for tests, and Pods of any kind."""

from string import ascii_lowercase, ascii_uppercase, digits

from hypothesis import strategies as st

from lab.pods import ContainerSpec, EnvVar, PodSpec, Port
from lab.tutorial import document

TUTORIAL_POD, TUTORIAL_UNIT = document.POD, document.UNIT

# Not by from_regex, which takes three times as long.
labels = st.text(f"{ascii_lowercase}{digits}-", min_size=1, max_size=22).filter(
    lambda drawn: not (drawn.startswith("-") or drawn.endswith("-"))
)
variables = st.text(f"{ascii_uppercase}{digits}_", min_size=1, max_size=10).filter(
    lambda drawn: not drawn[0].isdigit()
)
text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
# Through a lambda: hypothesis would give values to the models' camelCase aliases too.
containers = st.builds(
    lambda **values: ContainerSpec(**values),
    name=labels,
    image=st.sampled_from(["mysql", "localhost:5000/a/b:1.2", f"tiny:1@sha256:{'0f' * 32}"]),
    command=st.lists(text, max_size=2).map(tuple),
    args=st.lists(text, max_size=2).map(tuple),
    env=st.lists(st.builds(EnvVar, name=variables, value=text), max_size=2).map(tuple),
    ports=st.lists(
        st.builds(
            lambda **values: Port(**values),
            container_port=st.integers(1, 65535),
            protocol=st.sampled_from(["TCP", "UDP", "SCTP"]),
        ),
        max_size=2,
    ).map(tuple),
    working_dir=st.sampled_from(["", "/srv"]),
)
pod_specs = st.builds(
    lambda **values: PodSpec(**values),
    name=labels,
    labels=st.dictionaries(text, text, max_size=2),
    node=st.none() | labels,
    restart_policy=st.sampled_from(["Always", "OnFailure", "Never"]),
    containers=st.lists(containers, min_size=1, max_size=2, unique_by=lambda item: item.name).map(tuple),
)
