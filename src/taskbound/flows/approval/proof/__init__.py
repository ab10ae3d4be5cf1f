"""Verification of answers: signatures, sign-ins and issuers' tokens, on receipt and at use."""
