"""Prints what etcd's v2 store answers about a URL, with the remaining time of each key.

    leases_v2 URL SECONDS [CA CERTIFICATE KEY]

404 is an answer, too: no key yet. This file runs on a machine of the lab.
"""

import ssl
import sys
import urllib.error
import urllib.request

if __name__ == "__main__":
    url, seconds, *certificates = sys.argv[1:]
    context = None
    if certificates:
        authority, certificate, key = certificates
        context = ssl.create_default_context(cafile=authority)
        context.load_cert_chain(certificate, key)
    try:
        answer = urllib.request.urlopen(url, timeout=float(seconds), context=context)  # noqa: S310 - etcd's
    except urllib.error.HTTPError as error:
        answer = error
    sys.stdout.write(answer.read().decode())
