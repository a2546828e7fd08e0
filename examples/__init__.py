"""Things to try vpcrouter with."""
