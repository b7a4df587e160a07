"""States: inputs and outputs of a model that its instance keeps from run to run."""
