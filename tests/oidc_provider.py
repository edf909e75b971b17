"""A provider of identities that really is one: Authlib's authorization server, over HTTP, which insists on PKCE and nonces."""

import base64
import contextlib
import json
import os
import threading
import time
import urllib.parse

import flask
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants
from authlib.oauth2.rfc6749.models import AuthorizationCodeMixin
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode, UserInfo
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

CLIENT, SECRET = "suanquan", "a secret & more"


class Client(ClientMixin):
    def get_client_id(self):
        return CLIENT

    def get_default_redirect_uri(self):
        return None

    def get_allowed_scope(self, scope):
        return scope

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri.endswith("/v1/sessions/oidc/back")

    def check_client_secret(self, client_secret):
        return urllib.parse.unquote_plus(client_secret) == SECRET

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_basic"

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return grant_type == "authorization_code"


class Code(AuthorizationCodeMixin):
    def __init__(self, **values):
        self.__dict__.update(values)

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return "openid"

    def get_nonce(self):
        return self.nonce

    def get_auth_time(self):
        return int(time.time())

    def get_acr(self):
        return None

    def get_amr(self):
        return None


class Provider:
    """Whoever comes is `subject`; `twist` changes the claims of a token, `kid` and `key` what signs it."""

    def __init__(self):
        self.subject, self.twist = "248289761001", {}
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.signs, self.codes, self.url = self.key, {}, ""

    def app(self):
        provider, app = self, flask.Flask(__name__)

        class Grant(grants.AuthorizationCodeGrant):
            TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

            def save_authorization_code(self, code, request):
                data = request.payload.data
                provider.codes[code] = Code(
                    redirect_uri=request.payload.redirect_uri,
                    nonce=data.get("nonce"),
                    code_challenge=data["code_challenge"],
                    code_challenge_method=data["code_challenge_method"],
                    user=request.user,
                )

            def query_authorization_code(self, code, client):
                return provider.codes.get(code)

            def delete_authorization_code(self, authorization_code):
                provider.codes = {k: one for k, one in provider.codes.items() if one is not authorization_code}

            def authenticate_user(self, authorization_code):
                return authorization_code.user

        class Identity(OpenIDCode):
            def exists_nonce(self, nonce, request):
                return False

            def resolve_client_private_key(self, client):
                return provider.signs.as_dict(private=True)

            def get_client_algorithm(self, client):
                return "RS256"

            def get_client_claims(self, client):
                return {"iss": provider.url, "aud": [client.get_client_id()]}

            def get_encode_header(self, client):
                return {"alg": "RS256", "kid": provider.signs.kid}

            def generate_user_info(self, user, scope):
                return UserInfo(sub=user, email="admin@example.cn")

        server = AuthorizationServer(app, query_client=lambda _id: Client(), save_token=lambda *_: None)
        server.register_grant(Grant, [Identity(require_nonce=True), CodeChallenge(required=True)])

        @app.get("/.well-known/openid-configuration")
        def configuration():
            paths = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
            return {"issuer": provider.url} | {name: provider.url + path for name, path in paths.items()}

        @app.get("/keys")
        def keys():
            return {"keys": [provider.key.as_dict(private=False)]}

        @app.get("/authorize")
        def authorize():
            grant = server.get_consent_grant(end_user=provider.subject)
            return server.create_authorization_response(grant_user=provider.subject, grant=grant)

        @app.post("/token")
        def token():
            response = server.create_token_response()
            if provider.twist and response.status_code == 200:
                found = json.loads(response.get_data())
                response.set_data(json.dumps(found | {"id_token": provider.resigned(found["id_token"])}))
            return response

        return app

    def resigned(self, token):
        """The same token with other claims, signed by the right key: what a confused provider would send."""
        from joserfc import jwt  # noqa: PLC0415

        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims | self.twist, self.signs)


@contextlib.contextmanager
def running():
    """The provider on a port of its own."""
    provider = Provider()
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    server = make_server("127.0.0.1", 0, provider.app(), threaded=True)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        del os.environ["AUTHLIB_INSECURE_TRANSPORT"]
