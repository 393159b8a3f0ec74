"""What int8 leaves as it is: layers that lose more than they gain."""

from floodseg.models.attention import EfficientSelfAttention
from floodseg.models.baseline import FullSelfAttention
from floodseg.models.cloud_judge import CloudJudge
from floodseg.models.context import ContextPrior
from floodseg.models.deploy import DeployedModel
from floodseg.models.router import Router
from floodseg.release.conversion.nodes import Nodes

_KEPT = EfficientSelfAttention | FullSelfAttention | CloudJudge | Router | ContextPrior


def unquantised(nodes: Nodes, deployed: DeployedModel, first: int = 0, last: int = 0) -> list[str]:
    """Return the names of the nodes that are not quantised.

    Attention costs little and multiplies what it is given; so does the judge of clouds, and a router takes its
    exponential, as a context prior takes logarithms: these are to be exact. So is what the whole model does with one
    channel, the margin of each pixel: mixing with radar under clouds, and temperatures. Arithmetic on validity alone
    has one channel, too: to convert it to int8 and back costs more than it does.

    Args:
        nodes: the graph's.
        deployed: the module that the graph was made of.
        first: convolutions to leave as they are from the beginning, with all that leads to the next one.
        last: convolutions to leave from the end.
    """
    kept = [name for name, module in deployed.named_modules() if isinstance(module, _KEPT)]
    return [*nodes.up_to(first), *nodes.last(last), *nodes.within(kept), *nodes.of_the_whole(), *nodes.of_validity()]
