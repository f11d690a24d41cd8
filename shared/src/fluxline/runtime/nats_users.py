"""The `authorization` block of a nats-server's configuration: `python -m fluxline.runtime.nats_users`.

Passwords come from the environment, `NATS_PASSWORD_<USER>`; with `--variables` the block names those variables
instead, for a nats-server that has them in its own environment.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Final

from fluxline.contracts.permissions import OPERATOR, PERMISSIONS, Permissions

USERS: Final = (*PERMISSIONS, OPERATOR)


def variable(user: str) -> str:
    """The name of the variable that holds a user's password."""
    return f"NATS_PASSWORD_{user.upper()}"


def authorization(passwords: Mapping[str, str]) -> str:
    """The block for these passwords by user. Raises KeyError for a user without one."""
    return _block({user: json.dumps(passwords[user]) for user in USERS})


def authorization_by_variables() -> str:
    """The block whose passwords the server reads from its environment."""
    return _block({user: f"${variable(user)}" for user in USERS})


def _block(passwords: Mapping[str, str]) -> str:
    users = [_user(name, passwords[name], permissions) for name, permissions in PERMISSIONS.items()]
    users.append(f"    {{ user: {OPERATOR}, password: {passwords[OPERATOR]} }}")
    return "authorization {\n  users: [\n" + "\n".join(users) + "\n  ]\n}\n"


def _user(name: str, password: str, permissions: Permissions) -> str:
    subjects = "\n".join(f'        "{subject}"' for subject in permissions.publish)
    return (
        f"    {{ user: {name}, password: {password}, permissions: {{\n"
        f"      publish: {{ allow: [\n{subjects}\n      ] }}\n"
        f'      subscribe: {{ allow: ["{permissions.inbox}.>"] }}\n'
        "    } }"
    )


def main() -> None:
    """Print the block."""
    if "--variables" in sys.argv[1:]:
        print(authorization_by_variables(), end="")
        return
    missing = [variable(user) for user in USERS if not os.environ.get(variable(user))]
    if missing:
        raise SystemExit(f"Set {', '.join(missing)} to long random texts, one for each user of NATS.")
    print(authorization({user: os.environ[variable(user)] for user in USERS}), end="")


if __name__ == "__main__":
    main()
