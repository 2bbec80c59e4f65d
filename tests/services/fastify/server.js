"use strict";

const fastify = require("fastify")();

fastify.get("/health", () => ({ up: true }));
fastify.get("/", () => ({ service: "fastify", release: process.cwd() }));
fastify.listen({ port: Number(process.env.PORT), host: process.env.HOST });
