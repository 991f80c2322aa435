import type { LoginTerms } from "../../src/domain/login-store.ts";
import type { LeaseTerms } from "../../src/domain/session.ts";

/** Long enough that nothing expires while a test runs. */
export const longLeaseTerms: LeaseTerms = { leaseMs: 60_000, retentionMs: 30_000 };
export const briefLeaseTerms: LeaseTerms = { leaseMs: 300, retentionMs: 300 };
export const longLoginTerms: LoginTerms = { idleMs: 60_000, lifetimeMs: 120_000 };
