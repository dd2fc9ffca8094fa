"""What runs inside the sandbox: plain files that are sent as text, since the image has nothing of ours."""
