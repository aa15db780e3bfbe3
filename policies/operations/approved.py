"""Who asked for a change and who agreed, as it stands in the documents of what is changed?"""

from policies.operations.change_envelope import Approved
from policies.queries.approvals import ApprovalView


def approved_by(approval: ApprovalView) -> Approved:
    """Who asked and who agreed, for the documents of what is changed?"""
    checkers = tuple(party.id for party in approval.approved_by)
    return Approved(approval.id, approval.maker.id, checkers)
