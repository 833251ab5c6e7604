"""Names of images. The cases are those of distribution/reference's own tests."""

import pytest

from lab.pods import ImageName, image_name, name_on_machine

F64 = "f" * 64


@pytest.mark.parametrize(
    ("text", "repository", "tag", "digest"),
    [
        ("mysql", "docker.io/library/mysql", "latest", ""),
        ("docker.io/mysql", "docker.io/library/mysql", "latest", ""),
        ("index.docker.io/library/foo", "docker.io/library/foo", "latest", ""),
        ("fooo/bar", "docker.io/fooo/bar", "latest", ""),
        ("test_com/foo", "docker.io/test_com/foo", "latest", ""),
        ("test.com/repo:tag", "test.com/repo", "tag", ""),
        ("test.com:tag", "docker.io/library/test.com", "tag", ""),
        ("test.com:5000", "docker.io/library/test.com", "5000", ""),
        ("test:5000/repo", "test:5000/repo", "latest", ""),
        ("test:5000/repo:tag", "test:5000/repo", "tag", ""),
        (f"test:5000/repo@sha256:{F64}", "test:5000/repo", "", f"sha256:{F64}"),
        (f"test:5000/repo:tag@sha256:{F64}", "test:5000/repo", "tag", f"sha256:{F64}"),
        ("localhost/repo", "localhost/repo", "latest", ""),
        ("lowercase:Uppercase", "docker.io/library/lowercase", "Uppercase", ""),
        ("Foo/bar", "Foo/bar", "latest", ""),
        ("192.168.1.1:5000/repo:5050", "192.168.1.1:5000/repo", "5050", ""),
        (f"[2001:db8::1]:5000/repo:tag@sha256:{F64}", "[2001:db8::1]:5000/repo", "tag", f"sha256:{F64}"),
        ("xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/myimage", "xn--n3h.com", ""),
        ("docker---rules/docker", "docker.io/docker---rules/docker", "latest", ""),
        ("dock__er/docker", "docker.io/dock__er/docker", "latest", ""),
        (f"docker.io/{'1a' * 32}", f"docker.io/library/{'1a' * 32}", "latest", ""),
    ],
)
def test_a_name_is_read_as_docker_reads_it(text: str, repository: str, tag: str, digest: str):
    assert image_name(text) == ImageName(repository, tag, digest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":justtag",
        f"@sha256:{F64}",
        f"repo@sha256:{'f' * 34}",
        f"validname@invaliddigest:{F64}",
        f"repo@sha256:{'F' * 64}",
        "Uppercase:tag",
        "test:5000/Uppercase/lowercase:tag",
        "a/" * 128 + "a:tag",
        "aa/asdf$$^/aa",
        "https://github.com/docker/docker",
        "docker/Docker",
        "-docker",
        "docker-/docker",
        "_docker/_docker",
        "dock..er/docker",
        "dock_.er/docker",
        "docker///docker",
        "docker/",
        "[fc00::1]",
        "[fc00::1]:5000",
        "[2001:db8::1]:tag",
        "fc00::1:5000/debian",
        "[fe80::1%eth0]:5000/debian",
        "[2001:db8:3:4::192.0.2.33]:5000/debian",
        "1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a",
        "mysql\n",
    ],
)
def test_what_docker_refuses_is_refused_with_the_text_as_written(text: str):
    with pytest.raises(ValueError, match=r"^['\"]") as error:
        image_name(text)
    assert repr(text) in str(error.value)


def test_capital_letters_are_told_of():
    with pytest.raises(ValueError, match="names are lower-case"):
        image_name("MySQL")


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("mysql", "mysql"),
        ("localhost:5000/x:1", "localhost:5000/x:1"),
        (f"tiny@sha256:{F64}", f"docker.io/library/tiny:sha256-{F64}"),
        (f"localhost:5000/x:1@sha256:{F64}", f"localhost:5000/x:sha256-{F64}"),
    ],
)
def test_on_a_machine_a_digest_is_a_tag_which_is_a_name_too(text: str, there: str):
    assert name_on_machine(text) == there
    assert not image_name(there).digest
