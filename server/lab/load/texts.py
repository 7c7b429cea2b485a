"""What customers and agents of a shop in Bengal write, and what they are called."""

CUSTOMERS = (
    "রহিমা খাতুন",
    "Farhan Ahmed",
    "সুমাইয়া আক্তার",
    "Priya Sen",
    "জাহিদ হাসান",
    "Daniel Brooks",
    "নুসরাত জাহান",
    "Ayesha Siddiqua",
    "মোহাম্মদ কামাল উদ্দিন",
    "Léa Moreau",
    "তানিয়া ইসলাম",
    "Rakib Chowdhury",
    "শ্রাবণী দত্ত",
    "Imran Khan",
    "ফারজানা ববি",
    "Olivia Costa",
    "আব্দুল্লাহ আল মামুন",
    "Tasnim Rahman",
    "লাবণ্য সরকার",
    "Sanjoy Roy",
)

MESSAGES = (
    "আসসালামু আলাইকুম, অর্ডারটা কবে পাবো?",
    "দাম কত?",
    "ডেলিভারি চার্জ কত ঢাকার বাইরে?",
    "ধন্যবাদ, পেয়ে গেছি 🙏",
    "Hello, where is my order?",
    "Can I exchange it for a larger size? The blue one, please.",
    "Is this still in stock?",
    "Thank you so much!",
    ("টাকা কেটে নিয়েছে কিন্তু অর্ডার কনফার্ম হয়নি! বিকাশ ট্রানজেকশন আইডি পাঠাচ্ছি, একটু দেখবেন প্লিজ"),
    "Bhai, discount hobe?",
    "ok",
    "👍",
    "পণ্যটা ভাঙা এসেছে 😞 ছবি দেখুন",
    "I ordered two sarees on Friday and only one came.\nThe invoice says 2 x Jamdani <blue> & I "
    "have paid for both.\n\n"
    "Please check, my number is the same as before.",
    "ক্যাশ অন ডেলিভারি হবে?",
    "শো-রুম কোথায়? আজ কয়টা পর্যন্ত খোলা?",
)

REPLIES = (
    "ওয়ালাইকুম আসসালাম, একটু দেখে জানাচ্ছি।",
    "জি আপু, আছে। দুটো আছে।",
    "Of course, one moment please.",
    "আজ বিকেলের মধ্যে পেয়ে যাবেন ইনশাআল্লাহ।",
    "We will send the right one today. Sorry for the trouble!",
    "১২০ টাকা, ৩-৪ দিন লাগে।",
)
