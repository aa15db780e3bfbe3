"""How does a router get an answer in microseconds? The spend verbs over HTTP."""
