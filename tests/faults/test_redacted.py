"""What is shown of other programs' errors, which know no secrets."""

import pytest

from kubectl_modelcar.text import redacted


class TestShown:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("with url: /v2/x?_state=abc%3D&digest=sha256:1 (Caused by", "with url: /v2/x?… (Caused by"),
            ("'https://s3.example/b?X-Amz-Signature=00ff'", "'https://s3.example/b?…'"),
            ("proxy http://me:word@proxy.example:3128 refused", "proxy http://…@proxy.example:3128 refused"),
            ("{'Authorization': 'Bearer abc.def-ghi'}", "{'Authorization': 'Bearer …'}"),
            ("Basic dXNlcjpwYXNzd29yZA==", "Basic …"),
            ("is it there? yes: quay.io/a/b@sha256:1", "is it there? yes: quay.io/a/b@sha256:1"),
            ("a Bearer token is needed", "a Bearer token is needed"),
        ],
    )
    def test_redacted(self, text, shown):
        """Queries, passwords in URLs and credentials go; what people wrote stays."""
        assert redacted(text) == shown
