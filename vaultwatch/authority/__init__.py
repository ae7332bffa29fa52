"""The private certificate authority of a deployment: which host it certifies, for which names, and its certificates.

Its key is in KMS and cannot leave it. The authority's own certificate is made once. A host proves which role it has
by a call of STS that it signs and the function `sign` sends. What is certified for that role is a setting of the
function, and nothing that the host says.
"""
