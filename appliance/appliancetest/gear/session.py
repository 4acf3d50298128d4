"""A session of WHIP or WHEP over HTTPS, as a small piece of equipment would have it, and the way in which gear talks to its test.

Every program here is called as PROGRAM publish|watch URL [BEARER]. It writes one JSON object per line about what it sees, and leaves when
its input ends.
"""

import json
import ssl
import sys
import threading
import urllib.request

# The box of a test has a self-signed certificate.
TRUST_ANYTHING = ssl._create_unverified_context()


class Session:
    def __init__(self, url, bearer=None):
        self.url, self.bearer = url, bearer
        self.location = self.tag = None

    def _request(self, method, url, body=None, **headers):
        request = urllib.request.Request(url, method=method, data=body.encode() if body else None)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        if self.bearer:
            request.add_header("Authorization", "Bearer " + self.bearer)
        try:
            return urllib.request.urlopen(request, context=TRUST_ANYTHING, timeout=20)
        except urllib.error.HTTPError as refused:
            sys.exit(f"{method} {url}: {refused.code} {refused.read().decode()}")

    def post(self, offer):
        """Sends the offer and returns the answer."""
        with self._request("POST", self.url, offer, Content_Type="application/sdp") as created:
            self.location, self.tag = created.headers["Location"], created.headers["ETag"]
            return created.read().decode()

    def trickle(self, fragment):
        """Sends further candidates."""
        with self._request("PATCH", self.location, fragment, Content_Type="application/trickle-ice-sdpfrag", If_Match=self.tag) as taken:
            assert taken.status == 204, taken.status

    def delete(self):
        self._request("DELETE", self.location).close()


def say(**facts):
    print(json.dumps(facts), flush=True)


def when_told_to_leave(leave):
    """Calls leave on a thread of its own when the input ends."""

    def wait():
        sys.stdin.read()
        leave()

    threading.Thread(target=wait, daemon=True).start()


def arguments():
    if len(sys.argv) < 3 or sys.argv[1] not in ("publish", "watch"):
        sys.exit(f"usage: {sys.argv[0]} publish|watch URL [BEARER]")
    return sys.argv[1], Session(*sys.argv[2:4])
