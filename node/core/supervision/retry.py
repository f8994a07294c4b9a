"""How long to wait before something that failed is tried again: one policy, by tenacity."""

from __future__ import annotations

from collections.abc import Callable

from tenacity import RetryCallState, Retrying, wait_exponential


def backoff(first: float, factor: float, longest: float) -> Callable[[int], float]:
    """An exponential back-off without jitter.

    Args:
        first: seconds to wait after the first failed attempt.
        factor: by which the wait grows with each further failed attempt.
        longest: seconds that no wait exceeds.

    Returns:
        a function from the number of failed attempts, 1 or more, to the seconds to wait.
    """
    wait = wait_exponential(multiplier=first, exp_base=factor, max=longest)

    def seconds(failures: int) -> float:
        state = RetryCallState(Retrying(), None, (), {})
        state.attempt_number = failures
        return wait(state)

    return seconds
