"""How does o10 call a deployment of the proxy, and which deployment does o10 mean by a route?

A proxy knows model groups (what clients ask for) and deployments (what is called); o10 knows
offers. The guard's mapping decides, then what the deployment itself says
(`model_info.o10_model`), then the deployment's own name, which is often the offer's already
(`openai/gpt-5.4-mini`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from o10.wire.decisions import Route


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is known of one deployment? `o10_model` is what its model_info says, if anything."""

    group: str
    model: str
    o10_model: str = ""


@dataclass(slots=True)
class Names:
    """Which names stand for which? `models`: a group or deployment to o10's name of it.

    Shape: `groups` turns o10's names (offer or model) back into groups where the mapping and
    the deployments do not say it.
    """

    models: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)

    def of_deployment(self, deployment: Deployment) -> str:
        """What does o10 call what is about to be called?"""
        return (
            self.models.get(deployment.model)
            or deployment.o10_model
            or self.models.get(deployment.group)
            or deployment.model
        )

    def of_group(self, group: str, deployments: Iterable[Deployment]) -> str:
        """What does o10 call what the client asks for? Its first deployment's name."""
        for deployment in deployments:
            return self.of_deployment(deployment)
        return self.models.get(group) or group

    def group_for(self, route: Route, deployments: Iterable[Deployment]) -> str | None:
        """Which group serves this route? None = the proxy has no such deployment."""
        wanted = {route.offer, f"{route.venue}/{route.model}"}
        for name in (route.offer, f"{route.venue}/{route.model}", route.model):
            if name in self.groups:
                return self.groups[name]
        loose = None
        for deployment in deployments:
            name = self.of_deployment(deployment)
            if name in wanted:
                return deployment.group
            if loose is None and name == route.model:
                loose = deployment.group
        return loose


def deployment_of(entry: Mapping[str, Any]) -> Deployment:
    """What does this entry of the proxy's model list say?"""
    params = entry.get("litellm_params")
    info = entry.get("model_info")
    told = info.get("o10_model") if isinstance(info, Mapping) else None
    model = params.get("model") if isinstance(params, Mapping) else getattr(params, "model", "")
    return Deployment(
        group=str(entry.get("model_name") or ""),
        model=str(model or ""),
        o10_model=told if isinstance(told, str) else "",
    )
