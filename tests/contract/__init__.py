"""What the running product owes to programs outside: its OpenAPI documents, its refusals, the walls between tenants.

Speaks HTTP only, to one stack that all of these tests share; kills a server where the claim is about its absence.
"""
