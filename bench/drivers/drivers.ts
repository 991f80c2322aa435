import { grpc, grpcBatch, grpcStream } from "./grpc-drivers.ts";
import { connectJson, connectProto, rest } from "./http1-drivers.ts";

export const drivers = { rest, connectJson, connectProto, grpc, grpcStream, grpcBatch };
