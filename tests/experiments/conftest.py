"""Every test of the experiments room may load plugins; none leaves them behind."""

from tests.pristine_registries import pristine_registries as pristine_registries
