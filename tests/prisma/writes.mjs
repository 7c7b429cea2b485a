// Writes as a CRM does, through Prisma: `node writes.mjs mysql://user:password@host:port/database company`.
import { PrismaMariaDb } from "@prisma/adapter-mariadb";
import { PrismaClient } from "./generated/index.js";

const at = new URL(process.argv[2]);
const companyId = Number(process.argv[3]);
const adapter = new PrismaMariaDb({
  host: at.hostname,
  port: Number(at.port),
  user: at.username,
  password: at.password,
  database: at.pathname.slice(1),
});
const prisma = new PrismaClient({ adapter });
const rest = { platform: "facebook", companyId };
const one = await prisma.socialConversation.create({
  data: { ...rest, externalUserId: "created", externalUserName: "Created", messages: { create: { senderType: "customer", content: "nested" } } },
});
await prisma.socialMessage.createMany({
  data: ["second", "third"].map((content) => ({ conversationId: one.id, senderType: "customer", content })),
});
await prisma.socialConversation.update({ where: { id: one.id }, data: { lastMessageAt: new Date(), status: "Closed" } });
const gone = await prisma.socialConversation.create({ data: { ...rest, externalUserId: "gone", externalUserName: "Gone" } });
await prisma.$transaction([
  prisma.socialMessage.updateMany({ where: { conversationId: one.id, content: "third" }, data: { content: "third, corrected" } }),
  prisma.socialConversation.delete({ where: { id: gone.id } }),
]);
console.log(JSON.stringify({ id: one.id, gone: gone.id }));
await prisma.$disconnect();
