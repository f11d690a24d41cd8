"""Events of trainings, live and past."""
