import type { Study } from "../study.ts";
import { cacheStudy } from "./cache.ts";
import { connectStudies } from "./connect.ts";
import { distanceStudy } from "./distance.ts";
import { downloadsStudy } from "./downloads.ts";
import { grpcStudy } from "./grpc.ts";
import { idleSessionsStudy } from "./idle-sessions.ts";
import { limitStudy } from "./limit.ts";
import { objectsStudy } from "./objects.ts";
import { ourRedisStudies } from "./our-redis.ts";
import { overloadStudy } from "./overload.ts";
import { redisStudy } from "./redis.ts";
import { restStudy } from "./rest.ts";
import { scaleStudy } from "./scale.ts";
import { sessionsStudy } from "./sessions.ts";

/** In the order in which they run. */
export const studies: readonly Study[] = [
  restStudy,
  ...connectStudies,
  grpcStudy,
  limitStudy,
  overloadStudy,
  sessionsStudy,
  scaleStudy,
  downloadsStudy,
  distanceStudy,
  objectsStudy,
  cacheStudy,
  idleSessionsStudy,
  ...ourRedisStudies,
  redisStudy,
];
