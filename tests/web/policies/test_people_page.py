"""Does an administrator keep people and keys on the page, and never give authority alone?"""

import re
from typing import Any

import pytest

from o10.access import keys as access_keys
from o10.access import queries as access
from o10.access.roles import Role
from o10.kernel.errors import SelfApproval, Unauthorized
from policies import facade
from tests.company import caller
from tests.web.reports.pages_company import NOW, PagesCompany

pytestmark = pytest.mark.usefixtures("company")
PAGE = "/settings/people/"


def post(company: PagesCompany, **fields: Any) -> Any:
    return company.client(Role.ADMIN).post(PAGE, {"key": repr(sorted(fields))[:64], **fields})


def secret_in(answer: Any) -> str:
    return str(answer.context["shown"].secret)


def add(company: PagesCompany, email: str, role: str) -> Any:
    return post(company, do="person", email=email, name=email.split("@")[0], role=role)


def agree(company: PagesCompany, approval: str, role: Role) -> None:
    facade.approve(approval=approval, actor=caller(role, company.people[role]), now=NOW)


def waiting(kind: str) -> list[facade.ApprovalView]:
    return list(facade.list_approvals(now=NOW, state="open", kind=kind).items)


def test_a_person_is_added_and_signs_in_with_the_password_shown_once(
    company: PagesCompany, client: Any
) -> None:
    answer = add(company, "new@acme.example", "owner")
    made = access.find_person_by_email("new@acme.example")
    assert made is not None and made.role == "owner"
    assert client.login(username="new@acme.example", password=secret_in(answer))
    again = add(company, "new@acme.example", "owner")
    assert again.status_code == 409 and b"Nothing was changed" in again.content
    assert secret_in(answer) not in company.client(Role.ADMIN).get(PAGE).content.decode()


def test_a_controller_is_a_viewer_until_a_second_person_agrees(company: PagesCompany) -> None:
    answer = add(company, "second@acme.example", "controller")
    assert b"A viewer until others agree" in answer.content
    made = access.find_person_by_email("second@acme.example")
    assert made is not None and made.role == "viewer"
    [asked] = waiting("person.create")
    told = repr(asked.text.title) + repr(asked.text.rows)
    assert "second" not in told and made.id in told, "no name goes into the ledger"
    with pytest.raises(SelfApproval):
        agree(company, asked.id, Role.ADMIN)
    agree(company, asked.id, Role.CONTROLLER)
    made = access.find_person(made.id)
    assert made is not None and made.role == "controller"


def test_a_role_is_changed_and_a_person_let_go(company: PagesCompany) -> None:
    add(company, "third@acme.example", "viewer")
    made = access.find_person_by_email("third@acme.example")
    assert made is not None
    url = f"/settings/people/{made.id}/act/"
    admin = company.client(Role.ADMIN)
    assert admin.post(url, {"do": "role", "role": "auditor", "key": "a"}).status_code == 302
    assert access.find_person(made.id).role == "auditor"  # type: ignore[union-attr]
    admin.post(url, {"do": "role", "role": "cfo", "key": "b"})
    [asked] = waiting("person.role")
    assert asked.subject == made.id
    facade.withdraw(
        approval=asked.id, actor=caller(Role.ADMIN, company.people[Role.ADMIN]), now=NOW
    )
    admin.post(url, {"do": "deactivate", "key": "c"})
    assert not access.find_person(made.id).is_active  # type: ignore[union-attr]
    own = f"/settings/people/{company.people[Role.ADMIN]}/act/"
    assert admin.post(own, {"do": "role", "role": "cfo", "key": "d"}).status_code == 403
    cfo = f"/settings/people/{company.people[Role.CFO]}/act/"
    admin.post(cfo, {"do": "deactivate", "key": "e"})
    [asked] = waiting("person.role")
    assert access.find_person(company.people[Role.CFO]).is_active  # type: ignore[union-attr]
    with pytest.raises(SelfApproval):
        agree(company, asked.id, Role.ADMIN)
    facade.withdraw(
        approval=asked.id, actor=caller(Role.ADMIN, company.people[Role.ADMIN]), now=NOW
    )


def test_a_narrow_key_is_made_shown_once_and_revoked(company: PagesCompany) -> None:
    answer = post(
        company, do="key", name="batch", role="router", use_cases=["support-assistant"]
    )
    secret = secret_in(answer)
    header = f"Bearer {secret}"
    assert access_keys.authenticate(header=header, now=NOW).principal.startswith("usr_")
    key = next(each for each in access.list_keys() if each.name == "batch")
    admin = company.client(Role.ADMIN)
    assert secret not in admin.get(PAGE).content.decode()
    admin.post(f"/settings/keys/{key.id}/act/")
    access_keys.forget()
    with pytest.raises(Unauthorized):
        access_keys.authenticate(header=header, now=NOW)
    assert admin.post("/settings/keys/key_none/act/").status_code == 404


def test_a_wide_key_waits(company: PagesCompany) -> None:
    answer = post(company, do="key", name="everything", role="router")
    assert b"It works once others have agreed" in answer.content
    page = company.client(Role.ADMIN).get(PAGE).content.decode()
    assert "New key: everything, router" in page


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"do": "person", "email": "no address", "name": "A", "role": "owner"}, "An e-mail"),
        ({"do": "person", "email": "a@b.example", "name": "", "role": "owner"}, "A name of"),
        (
            {"do": "person", "email": "a@b.example", "name": "A", "role": "router"},
            "A role that",
        ),
        (
            {"do": "person", "email": "a@b.example", "name": "A", "role": "king"},
            "Choose a role",
        ),
        ({"do": "key", "name": "", "role": "router"}, "A name has"),
        ({"do": "key", "name": "a", "role": "router", "use_cases": ["x"]}, "There is no use"),
    ],
)
def test_what_cannot_be_is_told(
    company: PagesCompany, fields: dict[str, Any], said: str
) -> None:
    before = (len(access.list_people()), len(access.list_keys()))
    answer = post(company, **fields)
    assert (answer.status_code, said in answer.content.decode()) == (422, True)
    assert (len(access.list_people()), len(access.list_keys())) == before


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ADMIN, Role.ROUTER}))
def test_others_are_refused_and_told_who_can(company: PagesCompany, role: Role) -> None:
    browser = company.client(role)
    assert browser.get(PAGE).status_code == 403
    assert browser.post(PAGE, {"do": "person"}).status_code == 403
    assert PAGE not in browser.get("/").content.decode()
    assert re.search("admin", browser.get(PAGE).content.decode())
